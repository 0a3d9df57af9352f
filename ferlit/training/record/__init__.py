"""What a run leaves behind: its logs, its configuration, what it was made with."""
