create table ops.etl_job_runs (
    ledger_entry bigint,
    run_id varchar,
    job_name varchar,
    job_type varchar,
    status varchar,
    as_of timestamp,
    processed_from timestamp,
    last_processed_timestamp timestamp,
    records_processed bigint,
    partitions_touched bigint,
    started_at timestamp,
    completed_at timestamp,
    error_message varchar,
    code_checksum varchar,
    metadata_json varchar
);
create table ops.requested_partitions (
    request_id varchar,
    model_name varchar,
    entity varchar,
    day date,
    reason varchar,
    requested_at timestamp,
    done_at timestamp,
    run_id varchar
);
create table ops.partition_coverage (
    model_name varchar,
    domain varchar,
    strategy varchar,
    built_on varchar,
    entity varchar,
    day date,
    state varchar,
    expected_rows bigint,
    stored_rows bigint,
    differing_rows bigint,
    differing_columns varchar,
    is_current boolean,
    is_rebuildable boolean,
    as_of timestamp,
    found_at timestamp,
    checked_at timestamp,
    run_id varchar,
    compared_from date
);
create table ops.backfill_attempts (
    run_id varchar,
    model_name varchar,
    entity varchar,
    day date,
    outcome varchar,
    state varchar,
    found_at timestamp,
    as_of timestamp,
    started_at timestamp,
    finished_at timestamp,
    error_message varchar
);
create table ops.changed_keys (
    ledger_entry bigint,
    model_name varchar,
    entity varchar,
    day date,
    run_id varchar,
    as_of timestamp
);
create table ops.run_lock (
    holder varchar,
    taken_at timestamp,
    expires_at timestamp
);
create table ops.run_lock_turn (
    taken_at timestamp
);
create table ops.gate_log (
    ledger_entry bigint,
    run_id varchar,
    measured_at timestamp,
    as_of timestamp,
    metric varchar,
    subject varchar,
    amount bigint,
    detail varchar,
    warning_at bigint,
    critical_at bigint,
    reference_time timestamp,
    reason varchar
);
create table ops.alerts (
    alert_entry bigint,
    run_id varchar,
    told_at timestamp,
    as_of timestamp,
    channel varchar,
    subject varchar,
    state varchar
);
create table ops.landed_files (
    path varchar,
    table_name varchar,
    records bigint,
    loaded_at timestamp,
    run_id varchar,
    recorded_at timestamp,
    status varchar,
    error_message varchar
);
create table ops.retention_floors (
    ledger_entry bigint,
    run_id varchar,
    pruned_at timestamp,
    as_of timestamp,
    subject varchar,
    subject_type varchar,
    kept_from date,
    rows_deleted bigint,
    reason varchar
);
