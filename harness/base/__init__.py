"""What every room uses and that knows no run: machine, files, text, statistics, threats, targets, seeds."""
