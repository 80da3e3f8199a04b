"""Values of options that several scripts have."""
import argparse


def percent(text):
    """'2.5' or '2.5%' as a share."""
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = -1
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected percent, 0 to 99")
    return value
