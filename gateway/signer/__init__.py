"""The signer: reads what is public of each election, computes its tree, and signs checkpoints that only grow."""
