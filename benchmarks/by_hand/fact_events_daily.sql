with versions as (

    select
        event_id,
        company_id,
        event_timestamp,
        cast(make_timestamp(epoch_us(event_timestamp)) as date) as activity_date,
        events,
        coalesce(is_deleted, false) as is_deleted,
        loaded_at
    from raw.fact_events
    where
        loaded_at <= getvariable('as_of')
        and event_id is not null
        and company_id is not null
        and make_timestamp(epoch_us(event_timestamp)) <= loaded_at + interval 24 hours
        and (is_deleted or events >= 0)

),

-- few events come twice, and only they need a window; other events of the same hash do no harm
repeated as materialized (

    select hash(event_id) as event_hash
    from versions
    group by event_hash
    having count(*) > 1

),

current_events as (

    select company_id, activity_date, events, is_deleted
    from versions
    where hash(event_id) not in (select event_hash from repeated)
    union all
    select company_id, activity_date, events, is_deleted
    from versions
    where hash(event_id) in (select event_hash from repeated)
    qualify row_number() over (
        partition by event_id, company_id, activity_date
        order by loaded_at desc, is_deleted desc, event_timestamp desc, events desc nulls last
    ) = 1
)

select
    company_id,
    activity_date,
    cast(sum(events) as bigint) as events,
    count(*) as event_rows,
    getvariable('as_of') as record_loaded_at
from current_events
where not is_deleted
group by company_id, activity_date
