update annals.view_generations set state = 'dropped' where view = $1 and generation = $2::integer and state = 'void'
