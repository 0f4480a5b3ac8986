-- a watermark ahead of the clock would skip what is loaded in between
with watermarks as (

    select * from {{ ref('etl_job_watermarks') }}

),

final as (

    select
        job_name,
        last_processed_timestamp,
        known_until
    from watermarks
    where last_processed_timestamp > {{ tidemark.as_of() }} or known_until > {{ tidemark.as_of() }}

)

select * from final
