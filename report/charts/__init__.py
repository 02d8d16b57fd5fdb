"""The charts, drawn once: for the page as SVG, for a paper or a slide as PNG.

In come numbers; out come :class:`~report.charts.drawing.Drawing` objects, which know nothing of a page or of a file.
:mod:`report.page.markup` writes one as SVG into the page, :mod:`report.charts.png` the same one as PNG. How a class of
line, mark or word looks stands once, in ``charts.css``: the browser reads it, and so does the PNG.

Why not matplotlib's SVG for the page: it carries its look in ``style`` attributes, which the page's policy forbids and
the dark mode cannot reach; it places text by a font that the reader has not; and the forest and the matrix are tables
here, which sort, filter and are read aloud, with a picture or a shade in each line. Matplotlib still paints the PNG:
its Agg is what turns lines and letters into pixels.

    drawing   scales, ticks, lines, marks, words, legends
    budget cost forest heat latency   a chart each
    sheets    a chart with title, legend and caption, as it stands alone in a file
    png       pixels
"""
