{% if 'usage_answers' in var('absent_sources') -%}

{{ no_rows({
    'usage_date': 'date',
    'occurred_at': 'date',
    'loaded_at': tidemark.timestamp_type(),
    'quarantine_reason': 'varchar'
}) }}

{%- else -%}

with source as (

    {{ tidemark.contract_rows(source('raw', 'usage_answers')) }}

),

final as (

    select
        usage_date,
        usage_date as occurred_at,
        loaded_at,
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'usage_answers')) }}
            when usage_date is null then 'usage_date is null'
            when {{ tidemark.is_before_earliest_event('usage_date') }} then 'usage_date is before earliest_event'
            when {{ tidemark.days_after('usage_date', -1) }} > cast(loaded_at as date)
                then 'usage_date is more than 24 hours after loaded_at'
        end as quarantine_reason
    from source

)

select * from final

{%- endif %}
