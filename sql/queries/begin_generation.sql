insert into annals.view_generations (view, generation, form, epoch, offsets, reason)
select $1, coalesce(max(generation), 0) + 1, $2::integer, (select epoch from annals.log), $3::jsonb, $4::text
from annals.view_generations where view = $1
returning generation, epoch
