-- The generation becomes the live one, and the one that was live is kept: in one step. An earlier one that was kept is void.
update annals.view_generations v
set state = case when v.generation = $2::integer then 'live' when v.state = 'live' then 'kept' else 'void' end,
    activated_at = case when v.generation = $2::integer then now() else v.activated_at end
where v.view = $1
  and case when v.generation = $2::integer then v.state in ('building', 'kept', 'live') and v.epoch = (select epoch from annals.log)
           else v.state in ('live', 'kept') end
  and exists (select from annals.view_generations n where n.view = $1 and n.generation = $2::integer and n.state in ('building', 'kept', 'live')
              and n.epoch = (select epoch from annals.log))
returning v.generation
