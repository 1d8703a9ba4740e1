-- $5: a number that is in use in the view's store, although this registry does not know it: after a restore.
insert into annals.view_generations (view, generation, form, epoch, offsets, reason)
select $1, greatest(coalesce(max(generation), 0), $5::integer) + 1, $2::integer, (select epoch from annals.log), $3::jsonb, $4::text
from annals.view_generations where view = $1
returning generation, epoch
