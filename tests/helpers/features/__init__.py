"""What the contract suite of features consists of: see tests/contract/features/README.md."""
