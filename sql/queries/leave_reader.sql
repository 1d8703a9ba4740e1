-- Another process may follow the log at once.
update annals.due_times set due_at = now() - interval '1 second' where category = 'reader' and stream_id = $1 and due_at = $2
