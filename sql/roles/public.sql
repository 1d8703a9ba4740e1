-- Nobody runs a function of the schema by default.
revoke execute on all functions in schema annals from public;
