{{ config(schema=var('ops_schema')) }}

with clock as (

    select cast(max(known_until) as date) as last_day
    from {{ ref('etl_job_watermarks') }}

),

final as (

    select {{ tidemark.day_of('calendar', tidemark.date_literal(var('earliest_event'))) }} as date_day
    from clock
    cross join {{ tidemark.each_day(tidemark.date_literal(var('earliest_event')), 'clock.last_day') }} as calendar

)

select * from final
