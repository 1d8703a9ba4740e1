-- How far a generation is built.
update annals.view_generations set built_to = $3, streams = $4 where view = $1 and generation = $2::integer and state = 'building'
returning generation
