"""The people of a shift: the operator at the alarm list, the maintenance crew, the auditor with a clipboard."""
