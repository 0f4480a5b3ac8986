{% snapshot consumer_customers %}

{{ config(
    unique_key=['consumer_id', 'customer_id'],
    strategy='check',
    check_cols=['customer_name', 'status'],
    updated_at='loaded_at'
) }}

with customers as (

    select * from {{ ref('stg_customers') }}
    where {{ tidemark.valid_and_visible() }}
    qualify {{ tidemark.latest_version(ref('stg_customers')) }}

),

final as (

    select
        consumer_id,
        customer_id,
        customer_name,
        status,
        created_at,
        loaded_at
    from customers

)

select * from final

{% endsnapshot %}
