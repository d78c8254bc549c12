"""What is measured: names become models, data, suites and attacks, each with its identity."""
