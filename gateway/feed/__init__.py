"""How the record reaches subscribers: selections, shared blocks, readers, the hub that follows the journal."""
