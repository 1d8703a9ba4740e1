update annals.view_generations set state = 'void', reason = $3
where view = $1 and generation = $2::integer and state in ('building', 'live', 'kept')
returning generation
