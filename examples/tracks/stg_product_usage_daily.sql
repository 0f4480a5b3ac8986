-- Usage made of one's own events. Every load that brought something new of a company's day makes a version of that day,
-- with what was known by then: so a late event is found by its load time, like any other row. An id that comes again is
-- the same event, and belongs to whom it came with first.
with tracks as (

    select
        id as event_id,
        cast(account_id as varchar) as company_id,
        coalesce(user_id, anonymous_id) as person_id,
        cast({{ tidemark.to_utc('timestamp') }} as date) as usage_date,
        received_at as loaded_at
    from {{ source('raw', 'fact_events') }}
    where
        id is not null
        and received_at is not null
        and not {{ tidemark.is_blank('cast(account_id as varchar)') }}
        and not {{ tidemark.is_before_earliest_event('timestamp') }}
        -- of an infinite time there is none in UTC
        and {{ dbt.dateadd('hour', -24, tidemark.to_utc('timestamp')) }} <= received_at

),

events as (

    select * from tracks
    qualify row_number() over (
        partition by company_id, usage_date, event_id order by loaded_at, person_id
    ) = 1

),

people as (

    select
        *,
        row_number() over (
            partition by company_id, usage_date, person_id order by loaded_at, event_id
        ) = 1 as is_first_of_person
    from events

),

loads as (

    select
        company_id,
        usage_date,
        loaded_at,
        count(case when is_first_of_person then person_id end) as new_people,
        count(*) as new_events
    from people
    group by company_id, usage_date, loaded_at

),

final as (

    select
        company_id,
        usage_date,
        usage_date as occurred_at,
        cast(sum(new_people) over (
            partition by company_id, usage_date order by loaded_at rows between unbounded preceding and current row
        ) as integer) as active_users,
        cast(sum(new_events) over (
            partition by company_id, usage_date order by loaded_at rows between unbounded preceding and current row
        ) as integer) as events,
        loaded_at,
        cast(null as varchar) as quarantine_reason
    from loads

)

select * from final
