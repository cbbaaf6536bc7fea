-- The tables of a new SQLite database: what all migrations together make of an empty one, which takes twenty times as long.
-- A test compares the two. With a new migration, write here what `.schema` of a migrated database shows.

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE environment (
    environment_hash VARCHAR NOT NULL,
    document JSON NOT NULL,
    CONSTRAINT pk_environment PRIMARY KEY (environment_hash)
);

CREATE TABLE sweep (
    sweep_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    spec JSON NOT NULL,
    spec_hash VARCHAR NOT NULL,
    planned_runs INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    simulated BOOLEAN NOT NULL,
    created_at VARCHAR NOT NULL,
    environment_hash VARCHAR NOT NULL,
    server JSON NOT NULL,
    imported JSON,
    group_id VARCHAR,
    start_failure JSON,
    search JSON,
    CONSTRAINT pk_sweep PRIMARY KEY (sweep_id),
    CONSTRAINT fk_sweep_environment_hash_environment FOREIGN KEY(environment_hash) REFERENCES environment (environment_hash)
);
CREATE INDEX ix_sweep_spec_hash ON sweep (spec_hash);

CREATE TABLE run (
    run_number INTEGER NOT NULL,
    run_id VARCHAR NOT NULL,
    sweep_id VARCHAR NOT NULL,
    spec_hash VARCHAR NOT NULL,
    point_hash VARCHAR NOT NULL,
    repeat INTEGER NOT NULL,
    started_at VARCHAR NOT NULL,
    elapsed_s DOUBLE NOT NULL,
    verdict_status VARCHAR NOT NULL,
    interrupted BOOLEAN NOT NULL,
    simulated BOOLEAN NOT NULL,
    model VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    shape_kind VARCHAR NOT NULL,
    concurrency INTEGER,
    rate_per_s DOUBLE,
    output_tokens INTEGER NOT NULL,
    seed BIGINT NOT NULL,
    method_version INTEGER NOT NULL,
    environment_hash VARCHAR NOT NULL,
    document JSON NOT NULL,
    input_tokens INTEGER,
    CONSTRAINT pk_run PRIMARY KEY (run_number),
    CONSTRAINT uq_run_run_id UNIQUE (run_id),
    CONSTRAINT fk_run_sweep_id_sweep FOREIGN KEY(sweep_id) REFERENCES sweep (sweep_id),
    CONSTRAINT fk_run_environment_hash_environment FOREIGN KEY(environment_hash) REFERENCES environment (environment_hash)
);
CREATE INDEX ix_run_sweep_id ON run (sweep_id);
CREATE INDEX ix_run_spec_hash ON run (spec_hash);
CREATE INDEX ix_run_point_hash ON run (point_hash);

CREATE TABLE request (
    run_number INTEGER NOT NULL,
    row_number INTEGER NOT NULL,
    "index" INTEGER NOT NULL,
    slot INTEGER,
    outcome VARCHAR NOT NULL,
    http_status INTEGER,
    due_ns BIGINT,
    start_ns BIGINT,
    sent_ns BIGINT,
    first_byte_ns BIGINT,
    end_ns BIGINT,
    connect_ns BIGINT,
    output_tokens_asked INTEGER NOT NULL,
    prompt_tokens INTEGER,
    output_tokens INTEGER,
    counted_by VARCHAR NOT NULL,
    finish_reason VARCHAR,
    detail VARCHAR,
    server_timing JSON,
    arrivals BLOB NOT NULL,
    prompt_tokens_asked INTEGER,
    limit_wait_ns BIGINT,
    hidden_tokens INTEGER,
    CONSTRAINT pk_request PRIMARY KEY (run_number, row_number),
    CONSTRAINT fk_request_run_number_run FOREIGN KEY(run_number) REFERENCES run (run_number)
);

CREATE TABLE server_sample (
    run_number INTEGER NOT NULL,
    sample_number INTEGER NOT NULL,
    at_ns BIGINT NOT NULL,
    "values" JSON NOT NULL,
    CONSTRAINT pk_server_sample PRIMARY KEY (run_number, sample_number),
    CONSTRAINT fk_server_sample_run_number_run FOREIGN KEY(run_number) REFERENCES run (run_number)
);

CREATE TABLE doctor_result (
    doctor_number INTEGER NOT NULL,
    host_hash VARCHAR NOT NULL,
    measured_at VARCHAR NOT NULL,
    document JSON NOT NULL,
    CONSTRAINT pk_doctor_result PRIMARY KEY (doctor_number)
);
CREATE INDEX ix_doctor_result_host_hash ON doctor_result (host_hash);

CREATE TABLE gpu_readings (
    run_number INTEGER NOT NULL,
    gpu_number INTEGER NOT NULL,
    device JSON NOT NULL,
    readings BLOB NOT NULL,
    CONSTRAINT pk_gpu_readings PRIMARY KEY (run_number, gpu_number),
    CONSTRAINT fk_gpu_readings_run_number_run FOREIGN KEY(run_number) REFERENCES run (run_number)
);
CREATE INDEX ix_sweep_group_id ON sweep (group_id);

CREATE TABLE run_outline (
    run_number INTEGER NOT NULL,
    outline BLOB NOT NULL,
    CONSTRAINT pk_run_outline PRIMARY KEY (run_number),
    CONSTRAINT fk_run_outline_run_number_run FOREIGN KEY(run_number) REFERENCES run (run_number)
);

CREATE TABLE job (
    job_number INTEGER NOT NULL,
    job_id VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    "values" JSON NOT NULL,
    spec_hash VARCHAR NOT NULL,
    planned_runs INTEGER NOT NULL,
    sweep_id VARCHAR,
    attempts INTEGER NOT NULL,
    queued_number INTEGER NOT NULL,
    submitted_at VARCHAR NOT NULL,
    started_at VARCHAR,
    ended_at VARCHAR,
    exit_code INTEGER,
    message VARCHAR,
    cancel_requested BOOLEAN NOT NULL,
    CONSTRAINT pk_job PRIMARY KEY (job_number),
    CONSTRAINT uq_job_job_id UNIQUE (job_id)
);
CREATE INDEX ix_job_status ON job (status);
CREATE INDEX ix_job_spec_hash ON job (spec_hash);

CREATE TABLE sweep_progress (
    sweep_id VARCHAR NOT NULL,
    updated_at VARCHAR NOT NULL,
    document JSON NOT NULL,
    CONSTRAINT pk_sweep_progress PRIMARY KEY (sweep_id),
    CONSTRAINT fk_sweep_progress_sweep_id_sweep FOREIGN KEY(sweep_id) REFERENCES sweep (sweep_id)
);

CREATE TABLE run_figures (
    run_number INTEGER NOT NULL,
    load_label VARCHAR,
    output_tokens_per_s DOUBLE,
    ttft_p50_s DOUBLE,
    e2e_latency_p50_s DOUBLE,
    gpu_count INTEGER,
    gpu_names JSON,
    CONSTRAINT pk_run_figures PRIMARY KEY (run_number),
    CONSTRAINT fk_run_figures_run_number_run FOREIGN KEY(run_number) REFERENCES run (run_number)
);

CREATE TABLE queue_claim (
    claim_number INTEGER NOT NULL,
    owner_id VARCHAR NOT NULL,
    host_name VARCHAR NOT NULL,
    process_id INTEGER NOT NULL,
    process_started BIGINT NOT NULL,
    process_namespace VARCHAR NOT NULL,
    boot_id VARCHAR NOT NULL,
    claimed_at VARCHAR NOT NULL,
    heartbeat_at VARCHAR NOT NULL,
    CONSTRAINT pk_queue_claim PRIMARY KEY (claim_number)
);

CREATE TABLE accuracy_result (
    result_number INTEGER NOT NULL,
    evaluation_id VARCHAR NOT NULL,
    name VARCHAR,
    sweep_id VARCHAR,
    server_hash VARCHAR NOT NULL,
    server JSON,
    model VARCHAR NOT NULL,
    provenance VARCHAR NOT NULL,
    task VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    standard_error DOUBLE,
    samples INTEGER,
    shots INTEGER,
    tool VARCHAR NOT NULL,
    tool_version VARCHAR,
    settings JSON NOT NULL,
    measured_at VARCHAR NOT NULL,
    CONSTRAINT pk_accuracy_result PRIMARY KEY (result_number),
    CONSTRAINT fk_accuracy_result_sweep_id_sweep FOREIGN KEY(sweep_id) REFERENCES sweep (sweep_id)
);
CREATE INDEX ix_accuracy_result_evaluation_id ON accuracy_result (evaluation_id);
