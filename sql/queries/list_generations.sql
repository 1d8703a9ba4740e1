select generation, form, epoch, state, offsets, built_to, streams, reason,
       to_char(begun_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), to_char(activated_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
from annals.view_generations where view = $1 order by generation
