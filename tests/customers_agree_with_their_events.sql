{{ config(group='consumers', enabled='consumers' in var('domains'), severity='warn') }}

-- Customers whose table does not say what their events add up to. Both as of the mart's watermark, so that it also
-- holds between a load and a run; who had an event on the day of the last copy or later is left to the next copy.
with clock as (

    select last_processed_timestamp as watermark from {{ ref('etl_job_watermarks') }}
    where job_name = 'customer_states'

),

customers as (

    select stg_customers.* from {{ ref('stg_customers') }} as stg_customers
    cross join clock
    where stg_customers.quarantine_reason is null and stg_customers.loaded_at <= clock.watermark
    qualify {{ tidemark.latest_version(ref('stg_customers')) }}

),

last_copy as (

    select cast(max(loaded_at) as date) as copy_date from customers

),

states as (

    select * from {{ ref('customer_states') }}
    qualify row_number() over (partition by consumer_id, customer_id order by activity_date desc) = 1

),

final as (

    select
        coalesce(customers.consumer_id, states.consumer_id) as consumer_id,
        coalesce(customers.customer_id, states.customer_id) as customer_id,
        case
            when customers.customer_id is null then 'exists by its events, not in the table'
            when not coalesce(states.is_existing, false) then 'in the table, does not exist by its events'
            else 'is ' || customers.status || ' in the table, not by its events'
        end as difference
    from customers
    full outer join states
        on
            customers.consumer_id = states.consumer_id
            and customers.customer_id = states.customer_id
    cross join last_copy
    where
        coalesce(states.activity_date < last_copy.copy_date, last_copy.copy_date is not null)
        and (
            (customers.customer_id is not null) <> coalesce(states.is_existing, false)
            or states.is_active <> (customers.status = 'ACTIVE')
        )

)

select * from final
