{#- without a CRM there is no source above it that a record could go by -#}
{{ config(
    materialized='view' if 'crm_daily' in var('absent_sources') else 'incremental',
    meta={'is_recorded': 'crm_daily' not in var('absent_sources')},
    incremental_strategy='full',
    transient=true,
    unique_key=['company_id', 'valid_from']
) }}

with crm as (

    select * from {{ ref('stg_crm_daily') }}
    where {{ tidemark.valid_and_visible() }}
    qualify {{ tidemark.latest_version(ref('stg_crm_daily')) }}

),

last_contact_of_day as (

    select
        crm.company_id,
        cast(crm.last_contact_at as date) as valid_from,
        max(crm.last_contact_at) as last_contact_at
    from crm
    where crm.last_contact_at is not null
    group by crm.company_id, cast(crm.last_contact_at as date)

),

final as (

    select
        company_id,
        valid_from,
        lead(valid_from) over (partition by company_id order by valid_from) as valid_to,
        last_contact_at,
        {{ tidemark.as_of() }} as record_loaded_at
    from last_contact_of_day

)

select * from final
