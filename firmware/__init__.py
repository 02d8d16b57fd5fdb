"""Firmware: a full-integer TFLite file as a C project for a microcontroller, built and run here on emulated cores."""
