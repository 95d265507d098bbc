"""What other settings of the alarm rules would have done in a recorded run."""
