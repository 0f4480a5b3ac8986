with events as (

    select * from {{ ref('stg_fact_events') }}
    where {{ tidemark.touched_partitions(ref('stg_fact_events'), entity='company_id', day='activity_date') }}
    qualify {{ tidemark.latest_version(ref('stg_fact_events')) }}

),

final as (

    select
        company_id,
        activity_date,
        cast(sum(events) as bigint) as events,
        count(*) as event_rows,
        {{ tidemark.as_of() }} as record_loaded_at
    from events
    where not is_deleted
    group by company_id, activity_date

)

select * from final
