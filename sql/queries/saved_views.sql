select document, views, visitors from annals.document_views
where document > $1 and saved_at >= $2 order by document limit $3
