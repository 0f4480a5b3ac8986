{%- set staging = {
    'company': {
        'stg_crm_daily': ['company_id', 'load_date'],
        'stg_product_usage_daily': ['company_id', 'usage_date'],
        'stg_usage_answers': ['usage_date'],
        'stg_fact_events': ['event_id', 'company_id', 'occurred_at'],
    },
    'engagement': {
        'stg_engagement_events': ['event_id', 'server_id', 'occurred_at'],
    },
    'consumers': {
        'stg_consumers': ['consumer_id'],
        'stg_customers': ['customer_id', 'consumer_id'],
        'stg_customer_events': ['event_id', 'consumer_id', 'occurred_at'],
    },
    'learning': {
        'stg_learner_events': ['event_id', 'learner_id', 'occurred_at'],
    },
    'web': {
        'stg_web_events': ['event_id', 'team_id', 'occurred_at'],
        'stg_web_teams': ['team_id'],
    },
} -%}

with quarantined as (

    {% for domain, keys in staging.items() if domain in var('domains') -%}
    {% for name, key in keys.items() -%}
    {% set types = tidemark.types_of('model.' ~ project_name ~ '.' ~ name) -%}
    select
        '{{ name | replace("stg_", "") }}' as source_name,
        concat_ws(
            ' | '
            {%- for column in key %},
            coalesce({{ tidemark.column_text('bad_rows.' ~ column, types[column]) }}, 'null')
            {%- endfor %}
        ) as row_key,
        bad_rows.quarantine_reason,
        {{ tidemark.row_as_json('bad_rows', types) }} as row_json,
        bad_rows.loaded_at
    from {{ ref(name) }} as bad_rows
    where bad_rows.quarantine_reason is not null and bad_rows.loaded_at is not null

    union all

    {% endfor %}
    {%- endfor %}
    -- no domain, no rows
    select
        cast(null as varchar) as source_name,
        cast(null as varchar) as row_key,
        cast(null as varchar) as quarantine_reason,
        cast(null as varchar) as row_json,
        {{ tidemark.timestamp_literal(none) }} as loaded_at
    where false

),

final as (

    select * from quarantined

)

select * from final
