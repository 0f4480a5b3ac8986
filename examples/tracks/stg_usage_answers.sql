-- A day has been answered for when something was loaded after its end: then the loader has come past it. A day on which
-- nothing was loaded is answered for by the next load.
with loads as (

    select
        cast(received_at as date) as loaded_on,
        min(received_at) as loaded_at
    from {{ source('raw', 'fact_events') }}
    where received_at is not null
    group by cast(received_at as date)

),

spans as (

    select
        lag(loaded_on) over (order by loaded_on) as first_day,
        {{ tidemark.days_after('loaded_on', -1) }} as last_day,
        loaded_at
    from loads

),

final as (

    select
        {{ tidemark.day_of('span', 'spans.first_day') }} as usage_date,
        {{ tidemark.day_of('span', 'spans.first_day') }} as occurred_at,
        spans.loaded_at,
        cast(null as varchar) as quarantine_reason
    from spans
    cross join {{ tidemark.each_day('spans.first_day', 'spans.last_day') }} as span
    where spans.first_day is not null

)

select * from final
