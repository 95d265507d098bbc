"""The judge's own OEE of a shift, and what explains a difference."""
