-- A generation that was built of an empty log has entries from now on: a store without any has lost them.
update annals.view_generations set streams = 1 where view = $1 and generation = $2::integer and streams = 0
