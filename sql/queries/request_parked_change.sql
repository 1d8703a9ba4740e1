update annals.parked_changes set requested = $2::text where id = $1 and state = 'parked' returning id
