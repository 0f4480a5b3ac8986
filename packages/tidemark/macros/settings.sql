{#- What a project may tell the engine, as vars of its dbt_project.yml. All defaults stand here: dbt shows a package's
    own vars to the package's nodes alone, and the models that call these macros are somebody else's. -#}

{#- The value of a setting. Of a mapping with fixed keys only those have to be given that differ. -#}
{%- macro setting(name) -%}
    {%- set default = tidemark.default_settings()[name] -%}
    {%- set given = var(name, none) -%}
    {%- if given is none -%}
        {{ return(default) }}
    {%- endif -%}
    {%- set with_fixed_keys = ['backfill', 'landing', 'refresh_above', 'retention', 'staging_columns'] -%}
    {{ return(dict(default, **given) if name in with_fixed_keys else given) }}
{%- endmacro %}

{#- What a column of the staging contract is called. -#}
{%- macro staged(column) -%}
    {{ return(tidemark.setting('staging_columns')[column]) }}
{%- endmacro %}

{#- Whether a part of the project that can be switched off is on; without the setting `domains` everything is. -#}
{%- macro is_switched_on(domain) -%}
    {%- set domains = tidemark.setting('domains') -%}
    {{ return(domains is none or domain is none or domain in domains) }}
{%- endmacro %}

{#- What is said of staging views, of those that are switched on. -#}
{%- macro versions_in_use() -%}
    {%- set used = {} -%}
    {%- for view, version in tidemark.setting('versions').items() if tidemark.is_switched_on(version.get('domain')) -%}
        {%- do used.update({view: version}) -%}
    {%- endfor -%}
    {{ return(used) }}
{%- endmacro %}

{%- macro default_settings() -%}
    {{ return({
        'ops_schema': target.schema ~ '_ops',
        'clock_of_target': {},
        'watermark_overlap_minutes': 30,
        'earliest_event': '1970-01-02',
        'versions': {},
        'staging_columns': {
            'loaded_at': 'loaded_at',
            'occurred_at': 'occurred_at',
            'activity_date': 'activity_date',
            'is_deleted': 'is_deleted',
            'quarantine_reason': 'quarantine_reason',
        },
        'domains': none,
        'enabled_entities': {},
        'landing': {
            'url': none,
            'storage_integration': none,
            'pipes': false,
            'roles': {'loader': 'LOADER', 'transformer': 'TRANSFORMER', 'reporter': 'REPORTER'},
        },
        'retention': {'raw_months': 18, 'aggregate_years': 7},
        'pruned_sources': {},
        'ops_days': 400,
        'gate_log_days': 30,
        'run_lock_minutes': 60,
        'warehouses': {},
        'audit': 'before',
        'rejected_rows': 100,
        'refresh_above': {'share': 0.85, 'rows': 100000},
        'coverage_days': 30,
        'on_code_change': 'rebuild',
        'report_days': 90,
        'report_rows': 5000,
        'backfill': {
            'min_partitions': 3,
            'max_days': 7,
            'priority_entities': [],
            'failures': 2,
            'retry_after_hours': 24,
            'abandoned_after_hours': 6,
        },
        'health': {
            'failed_runs': {'warning': 1, 'critical': 2},
            'job_failures': {'warning': 1, 'critical': 2},
            'watermark_lag_hourly': {'warning': 3600, 'critical': 21600},
            'watermark_lag_daily': {'warning': 86400, 'critical': 172800},
            'pending_rows': {'warning': 1, 'critical': 100},
            'waiting_rows': {'warning': 1, 'critical': none},
            'quarantined_rows': {'warning': 1, 'critical': none},
            'code_drift': {'warning': 1, 'critical': none},
            'unpublished': {'warning': 1, 'critical': none},
            'open_gaps': {'warning': 1, 'critical': none},
            'skipped_files': {'warning': 1, 'critical': 1},
        },
        'health_of_target': {},
    }) }}
{%- endmacro %}
