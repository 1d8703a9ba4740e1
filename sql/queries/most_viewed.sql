select document, sum(views)::bigint from annals.document_views_by_day
where day >= $1::text::date and day <= $2::text::date group by document order by 2 desc, document limit $3
