-- $2: delivered, skipped or dropped; parked: it was refused again, for the reason $3. $4: the version up to which it is settled; a
-- newer one that has come meanwhile stays, and what was asked for with it.
update annals.parked_changes
set state = $2::text, requested = null, settled_at = case when $2::text = 'parked' then null else now() end, reason = coalesce($3::text, reason),
    history = history || jsonb_build_array(jsonb_build_object('at', now(), 'what', case when $2::text = 'parked' then 'refused again' else $2::text end,
                                                              'reason', $3::text))
where id = $1 and state = 'parked' and ($4::bigint is null or newest <= $4::bigint)
returning id
