-- What one unit of an asset was worth at a payment's block, or why nobody says.
CREATE VIEW v_asset_prices AS
SELECT
    p.asset || '/' || p.quote || '@' || p.block_hash AS price_id,
    p.connector,
    p.asset,
    p.quote,
    p.block_number,
    p.block_hash,
    p.block_at,
    $amount(p.price) AS price,
    p.price AS price_key,
    p.reason,
    p.feed,
    p.round_id,
    p.round_at,
    p.recorded_at
FROM asset_price_current AS p
