{{ config(materialized='view') }}

with sessions as (

    select * from {{ ref('session_metrics') }}

),

clock as (

    select max(known_until) as known_until from {{ ref('etl_job_watermarks') }}
    where job_name = 'session_metrics'

),

final as (

    select
        sessions.*,
        sessions.last_activity >= {{ dbt.dateadd('minute', -30, 'clock.known_until') }} as is_active,
        clock.known_until
    from sessions
    cross join clock

)

select * from final
