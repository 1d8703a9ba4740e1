select to_char(day, 'YYYY-MM-DD'), views from annals.document_views_by_day where document = $1 and day >= $2::text::date order by day
