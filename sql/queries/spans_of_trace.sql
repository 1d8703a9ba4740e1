select span, parent, name, kind, process, begun, ended, failure, attributes from annals.spans where trace = $1 order by begun, id limit $2
