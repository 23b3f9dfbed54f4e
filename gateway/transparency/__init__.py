"""PURE: the record of an election as a transparency log: Merkle tree, checkpoints, cosignatures, proofs, policies.

The tree is that of RFC 6962 with SHA-256; the formats are those of C2SP (https://c2sp.org): signed-note,
tlog-checkpoint, tlog-cosignature, tlog-policy, tlog-proof and tlog-tiles. Signer, feeds, witnesses and verifiers share
this package. It knows nothing of databases, of HTTP or of what a report means; time comes in as an argument.

Signatures need the package `cryptography` (the extra `sign`), which is imported only when one is made or verified.
"""
