-- The rights of the signer's role: the functions of the feed's role that it needs, and its own. Granted by the owner, once
-- the role is there.

GRANT USAGE ON SCHEMA valgnatt_public, valgnatt_signing TO valgnatt_signer;
GRANT EXECUTE ON FUNCTION
    valgnatt_public.elections_v2(),
    valgnatt_public.registry(integer),
    valgnatt_public.record_v2(integer, bigint, integer),
    valgnatt_public.logs(),
    valgnatt_public.checkpoints(integer, integer, bigint, integer),
    valgnatt_public.cosignatures(integer, integer, bigint, bigint),
    valgnatt_signing.begin_round(integer, text, boolean),
    valgnatt_signing.declare_log(integer, integer, bigint, text, text[], text[]),
    valgnatt_signing.insert_checkpoint(integer, integer, bigint, bigint, bytea, timestamptz, text),
    valgnatt_signing.add_cosignature(integer, integer, bigint, text, timestamptz, text),
    valgnatt_signing.message(text)
TO valgnatt_signer;
