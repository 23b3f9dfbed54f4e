"""The other side of the doors: push reports, follow results, replay a night. Speaks only what the contract promises."""
