{% if 'crm_daily' in var('absent_sources') -%}

{{ no_rows({
    'company_id': 'varchar',
    'company_name': 'varchar',
    'country': 'varchar',
    'industry_tag': 'varchar',
    'last_contact_at': tidemark.timestamp_type(),
    'load_date': 'date',
    'occurred_at': 'date',
    'loaded_at': tidemark.timestamp_type(),
    'quarantine_reason': 'varchar'
}) }}

{%- else -%}

with source as (

    {{ tidemark.contract_rows(source('raw', 'crm_daily')) }}

),

final as (

    select
        company_id,
        name as company_name,
        country,
        industry_tag,
        last_contact_at,
        load_date,
        load_date as occurred_at,
        loaded_at,
        {{ tidemark.failed_values() }}
        case
            {{ tidemark.unfit_values(source('raw', 'crm_daily')) }}
            when company_id is null then 'company_id is null'
            when {{ tidemark.is_blank('company_id') }} then 'company_id is blank'
            when load_date is null then 'load_date is null'
            when {{ tidemark.is_before_earliest_event('load_date') }} then 'load_date is before earliest_event'
            when {{ tidemark.days_after('load_date', -1) }} > cast(loaded_at as date)
                then 'load_date is more than 24 hours after loaded_at'
        end as quarantine_reason
    from source

)

select * from final

{%- endif %}
