{% if 'product_usage_daily' in var('absent_sources') -%}

{{ no_rows({
    'company_id': 'varchar',
    'usage_date': 'date',
    'occurred_at': 'date',
    'active_users': 'integer',
    'events': 'integer',
    'loaded_at': tidemark.timestamp_type(),
    'quarantine_reason': 'varchar'
}) }}

{%- else -%}

with source as (

    {{ tidemark.contract_rows(source('raw', 'product_usage_daily')) }}

),

final as (

    select
        company_id,
        usage_date,
        usage_date as occurred_at,
        active_users,
        events,
        loaded_at,
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'product_usage_daily')) }}
            when company_id is null then 'company_id is null'
            when {{ tidemark.is_blank('company_id') }} then 'company_id is blank'
            when usage_date is null then 'usage_date is null'
            when active_users is null then 'active_users is null'
            when events is null then 'events is null'
            when active_users < 0 then 'active_users is negative'
            when events < 0 then 'events is negative'
            when {{ tidemark.is_before_earliest_event('usage_date') }} then 'usage_date is before earliest_event'
            when {{ tidemark.days_after('usage_date', -1) }} > cast(loaded_at as date)
                then 'usage_date is more than 24 hours after loaded_at'
        end as quarantine_reason
    from source

)

select * from final

{%- endif %}
