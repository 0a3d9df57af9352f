"""The sections of a report, a file each: what they say and their figures."""
