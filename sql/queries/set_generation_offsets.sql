-- A rebuild that was asked for gets its offsets when it begins.
update annals.view_generations set offsets = $3::jsonb, epoch = (select epoch from annals.log), form = $4::integer
where view = $1 and generation = $2::integer and state = 'building' and built_to is null
returning generation
