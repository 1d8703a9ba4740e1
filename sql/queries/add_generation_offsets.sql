-- Partitions that appeared while the generation was followed: it reads them from their beginning.
update annals.view_generations set offsets = offsets || jsonb_build_object($3::text, coalesce(offsets -> $3::text, '{}') || $4::jsonb)
where view = $1 and generation = $2::integer
