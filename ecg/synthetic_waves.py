"""What a synthetic heart beat is made of, as tables: the leads' matrix, a healthy beat's waves, what diseases change.

:mod:`ecg.synthetic` draws recordings from these. The heart vector is in Frank's coordinates, in mV: X to the left, Y to
the feet, Z to the back. That a wave's sign and place are right follows from the criterion named beside it; its size is
ours, chosen so that the average heart fulfils the criterion at severity 1 and misses it when the case is mild.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

# Body-surface leads from X, Y, Z: Dower, Machado, Osborne, "On deriving the electrocardiogram from vectorcardiographic
# leads", Clin Cardiol 3:87-95, 1980. Rows I II V1 ... V6; the other four limb leads follow from I and II.
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)

Part = Literal["P", "QRS", "ST", "T"]


class Wave(NamedTuple):
    """One Gaussian of the heart vector: its centre after the R peak, its standard deviation, its peak vector."""

    part: Part
    centre_ms: float
    sigma_ms: float
    x_mv: float
    y_mv: float
    z_mv: float


# A healthy beat. Intervals are a textbook's (PR 120-200 ms, QRS 80-100 ms, QTc about 400 ms); vectors give a frontal
# axis near +60 degrees, rS in V1, the transition at V3-V4, and T upright in all leads but AVR and perhaps V1.
HEALTHY = (
    Wave("P", -165, 17, 0.030, 0.075, -0.040),  # right atrium: forwards and down
    Wave("P", -138, 19, 0.060, 0.055, 0.030),  #  left atrium: left and back
    Wave("QRS", -26, 8, -0.14, -0.06, -0.22),  #  septum: q in I and V6, r in V1
    Wave("QRS", 0, 11, 1.00, 0.78, 0.22),  #      free walls: R
    Wave("QRS", 22, 10, -0.20, -0.08, 0.42),  #   base: S in V1-V4
    Wave("ST", 110, 38, 0.02, 0.015, -0.015),
    Wave("T", 225, 48, 0.17, 0.12, -0.09),  #     T rises slowly
    Wave("T", 268, 30, 0.17, 0.12, -0.09),  #     and falls fast
)


@dataclass(frozen=True)
class Form:
    """One form of a class, at severity 1; severity scales all of it.

    ``share``: of the class; ``waves``: added to the beat; ``voltage``, ``t_wave``, ``width``: relative change of the
    QRS amplitude, the T amplitude and the QRS duration; ``pr_ms``: added to the PR interval.
    """

    share: float
    waves: tuple[Wave, ...] = ()
    voltage: float = 0.0
    t_wave: float = 0.0
    width: float = 0.0
    pr_ms: float = 0.0


# What a class changes. Q waves, ST and T: Fourth Universal Definition of Myocardial Infarction (Thygesen et al.,
# Circulation 138:e618, 2018). Conduction: AHA/ACCF/HRS recommendations part III (Surawicz et al., Circulation
# 119:e235, 2009). Hypertrophy: Sokolow-Lyon (Am Heart J 37:161, 1949) and AHA part V (Hancock et al., 119:e251, 2009).
FORMS: dict[str, tuple[Form, ...]] = {
    "MI": (
        # Anterior: QS or lost R in V1-V4, ST still raised there, T inverted.
        Form(
            0.45,
            (
                Wave("QRS", -4, 18, -0.30, 0.0, 0.62),
                Wave("ST", 115, 45, 0.03, 0.0, -0.07),
                Wave("T", 255, 38, -0.30, -0.05, 0.34),
            ),
        ),
        # Inferior: Q >= 40 ms in II, III, AVF, T inverted there.
        Form(
            0.40,
            (
                Wave("QRS", -20, 13, 0.05, -0.75, 0.0),
                Wave("ST", 115, 45, -0.02, 0.07, 0.02),
                Wave("T", 255, 38, 0.0, -0.48, 0.0),
            ),
        ),
        # Lateral: Q in I, AVL, V5, V6, R lost there.
        Form(0.15, (Wave("QRS", -16, 12, -0.75, 0.10, -0.10), Wave("T", 255, 38, -0.50, 0.0, 0.05))),
    ),
    "STTC": (
        # Subendocardial ischaemia: ST depression >= 0.05 mV in V4-V6, I, II; T low.
        Form(0.35, (Wave("ST", 110, 48, -0.16, -0.13, 0.05),), t_wave=-0.7),
        # T inverted, from flat to negative.
        Form(0.35, (Wave("ST", 120, 45, -0.04, -0.03, 0.0),), t_wave=-1.9),
        # T flat.
        Form(0.20, t_wave=-1.0),
        # ST elevation along the heart's axis, as in pericarditis.
        Form(0.10, (Wave("ST", 105, 50, 0.15, 0.14, -0.06),)),
    ),
    "CD": (
        # Right bundle: QRS >= 120 ms, late forces right and forwards: rsR' in V1, broad S in I and V6.
        Form(0.35, (Wave("QRS", 58, 17, -0.60, 0.02, -0.50), Wave("T", 250, 40, 0.06, 0.0, 0.14)), width=0.1),
        # Left bundle: QRS >= 120 ms, no septal q, broad notched R in I, V5, V6, deep S in V1-V3, T opposite.
        Form(
            0.20,
            (
                Wave("QRS", -26, 8, 0.20, 0.06, 0.22),
                Wave("QRS", 46, 17, 0.65, 0.10, 0.75),
                Wave("ST", 115, 40, -0.10, -0.03, -0.09),
                Wave("T", 255, 38, -0.55, -0.15, -0.20),
            ),
            width=0.25,
        ),
        # Left anterior fascicle: axis beyond -45 degrees, qR in AVL, rS in II, III, AVF.
        Form(0.30, (Wave("QRS", -20, 9, -0.08, 0.25, 0.0), Wave("QRS", 16, 12, 0.12, -1.30, 0.08)), width=0.05),
        # First-degree AV block: PR > 200 ms, the rest healthy.
        Form(0.15, pr_ms=120),
    ),
    "HYP": (
        # Left ventricle: S in V1 + R in V5 or V6 >= 3.5 mV (Sokolow-Lyon), vector left and back, ST-T "strain".
        Form(
            0.70,
            (
                Wave("QRS", 10, 12, 0.15, -0.15, 0.40),
                Wave("ST", 115, 42, -0.07, -0.01, -0.02),
                Wave("T", 255, 38, -0.44, -0.10, -0.08),
            ),
            voltage=0.70,
        ),
        # The same by voltage alone.
        Form(0.30, (Wave("QRS", 10, 12, 0.10, 0.0, 0.35),), voltage=0.80),
    ),
}

# Which diseases a patient has; NORM is the absence of all four. About as in PTB-XL (Wagner et al., Sci Data 7:154,
# 2020), whose commonest combinations these are. The shares sum to 1.
COMBINATIONS: dict[tuple[str, ...], float] = {
    (): 0.475,
    ("MI",): 0.100,
    ("STTC",): 0.100,
    ("CD",): 0.075,
    ("HYP",): 0.025,
    ("MI", "STTC"): 0.045,
    ("MI", "CD"): 0.050,
    ("MI", "HYP"): 0.005,
    ("STTC", "CD"): 0.025,
    ("STTC", "HYP"): 0.045,
    ("CD", "HYP"): 0.020,
    ("MI", "STTC", "CD"): 0.010,
    ("MI", "STTC", "HYP"): 0.010,
    ("STTC", "CD", "HYP"): 0.015,
}
