/** Where the shop's tables live, and Sluice beside them. In a service of your own: `public`, and Sluice's default. */
export const shopSchema = "sluice_demo"
export const sluiceSchema = "sluice_demo_queue"

/** `payments` and `shipments` have no unique order, nor `audit_log` a unique event, on purpose: that there is one of each is for workers and subscribers to see to, not for an index. */
export const createTables: string = `
  create schema ${shopSchema};
  create table ${shopSchema}.products (sku text primary key, stock int not null check (stock >= 0));
  create table ${shopSchema}.orders (
    id text primary key,
    sku text not null references ${shopSchema}.products,
    quantity int not null
  );
  create table ${shopSchema}.payments (
    id bigint generated always as identity primary key,
    order_id text not null references ${shopSchema}.orders
  );
  create table ${shopSchema}.shipments (
    id bigint generated always as identity primary key,
    order_id text not null references ${shopSchema}.orders,
    delivery int not null
  );
  create table ${shopSchema}.reports (shop text not null, shipped int not null);
  create table ${shopSchema}.reservations (order_id text primary key, sku text not null, quantity int not null, paid boolean not null default false);
  create table ${shopSchema}.order_book (order_id text primary key, status text not null, steps int not null);
  create table ${shopSchema}.audit_log (
    id bigint generated always as identity primary key,
    event_id bigint not null,
    type text not null,
    order_id text not null,
    data text not null,
    delivery int not null
  );
  insert into ${shopSchema}.products values ('teapot', 1000), ('unicorn', 0);
`
