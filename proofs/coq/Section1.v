(* Section 1 of docs/theory.md: divergences, Gibbs' inequality, the closed form of Alg(2), the three-point identity. *)
From Coq Require Import Reals Lra.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

Lemma ln_le_sub1 x : 0 < x -> ln x <= x - 1.
Proof. by move=> x0; have := exp_ineq1_le (ln x); rewrite exp_ln //; lra. Qed.

Lemma ln_lt_sub1 x : 0 < x -> x <> 1 -> ln x < x - 1.
Proof.
move=> x0 x1; have := exp_ineq1 (ln x); rewrite exp_ln //; case: (Req_dec (ln x) 0) => [E|N].
  by case: x1; rewrite -(exp_ln x) // E exp_0.
by move/(_ N); lra.
Qed.

Lemma ln_div x y : 0 < x -> 0 < y -> ln (x / y) = ln x - ln y.
Proof. by move=> x0 y0; rewrite /Rdiv ln_mult ?ln_Rinv //; apply: Rinv_0_lt_compat. Qed.

Lemma kl_term_ge q p : 0 <= q -> 0 < p -> q - p <= q * ln (q / p).
Proof.
move=> q0 p0; case: (Req_dec q 0) => [->|qn0]; first by rewrite Rmult_0_l; lra.
have qp : 0 < q by lra.
have pq : 0 < p / q by apply: Rdiv_lt_0_compat.
have -> : q / p = / (p / q) by field; lra.
rewrite ln_Rinv //.
have M : q * ln (p / q) <= q * (p / q - 1) by apply: Rmult_le_compat_l; [lra | apply: ln_le_sub1].
have E : q * (p / q - 1) = p - q by field; lra.
lra.
Qed.

Lemma kl_term_gt q p : 0 <= q -> 0 < p -> q <> p -> q - p < q * ln (q / p).
Proof.
move=> q0 p0 qp; case: (Req_dec q 0) => [->|qn0]; first by rewrite Rmult_0_l; lra.
have q1 : 0 < q by lra.
have pq : 0 < p / q by apply: Rdiv_lt_0_compat.
have -> : q / p = / (p / q) by field; lra.
rewrite ln_Rinv //.
have pq1 : p / q <> 1.
  by move=> E; apply: qp; have <- : p / q * q = p by [field; lra]; rewrite E Rmult_1_l.
have M : q * ln (p / q) < q * (p / q - 1) by apply: Rmult_lt_compat_l => //; apply: ln_lt_sub1.
have E : q * (p / q - 1) = p - q by field; lra.
lra.
Qed.

Section Divergences.
Variable A : finType.
Implicit Types x y : dist A.

(* Gibbs' inequality. *)
Theorem gibbs x y : (forall a, 0 < y a) -> 0 <= KL x y.
Proof.
move=> y0; have -> : 0 = Sum (fun a => x a - y a) by rewrite sumB !prob_sum1; ring.
by apply: sum_le => a; apply: kl_term_ge => //; apply: prob_ge0.
Qed.

Theorem gibbs_equality x y : (forall a, 0 < y a) -> KL x y = 0 -> forall a, x a = y a.
Proof.
move=> y0 E; have T0 a : 0 <= x a * ln (x a / y a) - (x a - y a).
  by have := kl_term_ge (prob_ge0 x a) (y0 a); lra.
have T1 : Sum (fun a => x a * ln (x a / y a) - (x a - y a)) = 0.
  by rewrite sumB sumB !prob_sum1 -/(KL x y) E; ring.
move=> a; case: (Req_dec (x a) (y a)) => // N.
by have := sum_eq0 T0 T1 a; have := kl_term_gt (prob_ge0 x a) (y0 a) N; lra.
Qed.

Lemma KL_refl x : (forall a, 0 < x a) -> KL x x = 0.
Proof.
move=> x0; rewrite /KL -[RHS](sum_0 A); apply: sum_ext => a.
have -> : x a / x a = 1 by field; have := x0 a; lra.
by rewrite ln_1 Rmult_0_r.
Qed.

Lemma KL_ext x x' y y' : (forall a, x a = x' a) -> (forall a, y a = y' a) -> KL x y = KL x' y'.
Proof. by move=> ex ey; apply: sum_ext => a; rewrite ex ey. Qed.

(* For a deterministic policy the divergences have one term. *)
Lemma KL_point b y : 0 < y b -> KL (point b) y = - ln (y b).
Proof.
move=> y0; rewrite /KL (sum_1 (i := b)) /= ?eqxx; first by rewrite ln_div ?ln_1; lra.
by move=> a /negbTE ->; ring.
Qed.

Lemma sum_others b y : \big[Rplus/0]_(a : A | a != b) y a = 1 - y b.
Proof. by have := prob_sum1 y; rewrite (sum_D1 y b); lra. Qed.

Lemma TV_point b y : TV (point b) y = 1 - y b.
Proof.
rewrite /TV (sum_D1 _ b) /= eqxx Rabs_pos_eq; last by have := prob_le1 y b; lra.
rewrite (eq_bigr (fun a => y a)); first by rewrite sum_others; lra.
move=> a /negbTE ->; rewrite Rminus_0_l Rabs_Ropp Rabs_pos_eq //; exact: prob_ge0.
Qed.

(* 1 - p <= -log p: total variation is at most the divergence, for deterministic policies. *)
Lemma one_sub_le_ln p : 0 < p -> 1 - p <= - ln p.
Proof. by move/ln_le_sub1; lra. Qed.

(* ---- penalties -------------------------------------------------------------------------------------------- *)

Lemma centred_square_ge0 (u : A -> R) : 0 <= centred_square u.
Proof. by apply: sum_ge0 => a; apply: pow2_ge_0. Qed.

Lemma parameter_distance_refl x : (forall a, 0 < x a) -> parameter_distance x x = 0.
Proof.
move=> x0; have E a : ln (x a / x a) = 0.
  have -> : x a / x a = 1 by field; have := x0 a; lra.
  exact: ln_1.
rewrite /parameter_distance /centred_square -[RHS](sum_0 A); apply: sum_ext => a.
rewrite (sum_ext E) E sum_0 /Rdiv Rmult_0_l; ring.
Qed.

End Divergences.

(* ---- Alg(2) in closed form --------------------------------------------------------------------------------- *)

Section Step.
Variables (A : finType) (phi : dist A) (Q : A -> R) (lambda : R).
Hypothesis lambda_gt0 : 0 < lambda.
Hypothesis phi_gt0 : forall a, 0 < phi a.

Definition partition := Sum (fun a => phi a * exp (Q a / lambda)).
Definition softmax_step a := phi a * exp (Q a / lambda) / partition.

Lemma partition_gt0 : 0 < partition.
Proof.
apply: sum_pos; last exact: dist_inhabited phi.
by move=> a; apply: Rmult_lt_0_compat => //; apply: exp_pos.
Qed.

Lemma soft_gt0 a : 0 < softmax_step a.
Proof.
apply: Rdiv_lt_0_compat; last exact: partition_gt0.
by apply: Rmult_lt_0_compat => //; apply: exp_pos.
Qed.

Lemma soft_sum1 : Sum softmax_step = 1.
Proof.
rewrite /softmax_step /Rdiv sumZr -/partition Rinv_r //.
by have := partition_gt0; lra.
Qed.

Definition soft : dist A := Dist (fun a => Rlt_le _ _ (soft_gt0 a)) soft_sum1.

Definition soft_objective (x : dist A) := inner x Q - lambda * KL x phi.

Lemma ln_soft_ratio a : ln (soft a / phi a) = Q a / lambda - ln partition.
Proof.
have Z0 := partition_gt0; have pa := phi_gt0 a.
have -> : soft a / phi a = exp (Q a / lambda) * / partition.
  by rewrite /= /softmax_step; field; split; lra.
rewrite ln_mult ?ln_exp ?ln_Rinv //; first exact: exp_pos.
exact: Rinv_0_lt_compat.
Qed.

Lemma kl_split (x : dist A) a :
  x a * ln (x a / phi a) - x a * ln (x a / soft a) = x a * (Q a / lambda - ln partition).
Proof.
case: (Req_dec (x a) 0) => [->|qn0]; first by ring.
have qa : 0 < x a by have := prob_ge0 x a; lra.
have pa := phi_gt0 a; have sa : 0 < soft a := soft_gt0 a.
rewrite -ln_soft_ratio.
by rewrite (ln_div qa pa) (ln_div qa sa) (ln_div sa pa); ring.
Qed.

(* The objective completed: <x,Q> - lambda KL(x||phi) = lambda log Z - lambda KL(x||soft). *)
Theorem objective_completed (x : dist A) : soft_objective x = lambda * ln partition - lambda * KL x soft.
Proof.
have E : KL x phi - KL x soft = inner x Q / lambda - ln partition.
  rewrite /KL -sumB (sum_ext (kl_split x)).
  rewrite (sum_ext (g := fun a => / lambda * (x a * Q a) - x a * ln partition)); last by move=> a; rewrite /Rdiv; ring.
  by rewrite sumB sumZl sumZr prob_sum1 /inner /Rdiv; ring.
rewrite /soft_objective; have -> : KL x phi = KL x soft + (inner x Q / lambda - ln partition) by lra.
by field; lra.
Qed.

(* The closed form is the argmax, and the only one. *)
Theorem closed_form_is_argmax (x : dist A) : soft_objective x <= soft_objective soft.
Proof.
rewrite !objective_completed KL_refl; last exact: soft_gt0.
have : 0 <= lambda * KL x soft by apply: Rmult_le_pos; [lra | apply: gibbs; apply: soft_gt0].
lra.
Qed.

Theorem argmax_is_closed_form (x : dist A) :
  (forall y : dist A, soft_objective y <= soft_objective x) -> forall a, x a = softmax_step a.
Proof.
move/(_ soft); rewrite !objective_completed KL_refl; last exact: soft_gt0.
move=> H a; apply: (@gibbs_equality A x soft soft_gt0); apply: Rle_antisym.
  by apply: (Rmult_le_reg_l lambda) => //; lra.
by apply: gibbs; apply: soft_gt0.
Qed.

Lemma soft_maximum : soft_objective soft = lambda * ln partition.
Proof. by rewrite objective_completed KL_refl; [ring | apply: soft_gt0]. Qed.

(* Three-point identity. *)
Theorem three_point (q : dist A) :
  inner q Q - inner soft Q = lambda * (KL q phi - KL q soft - KL soft phi).
Proof.
have := objective_completed q; have := soft_maximum; rewrite /soft_objective; lra.
Qed.

End Step.

(* ---- Alg(1) in closed form -------------------------------------------------------------------------------------- *)

(* pi(a) = lambda phi(a)/(mu - Q(a)), with mu such that it sums to one, maximises <x,Q> - lambda KL(phi||x) over
   policies x of full support. *)
Theorem closed_form_is_argmax_kl_prior (A : finType) (phi pi : dist A) (Q : A -> R) (lambda mu : R) :
  0 < lambda -> (forall a, 0 < phi a) -> (forall a, Q a < mu) ->
  (forall a, pi a = lambda * phi a / (mu - Q a)) ->
  forall x : dist A, (forall a, 0 < x a) -> inner x Q - lambda * KL phi x <= inner pi Q - lambda * KL phi pi.
Proof.
move=> l0 phi0 muQ piE x x0.
have pi0 a : 0 < pi a.
  rewrite piE; apply: Rdiv_lt_0_compat; last by have := muQ a; lra.
  by apply: Rmult_lt_0_compat.
suff : Sum (fun a => x a * Q a - lambda * (phi a * ln (phi a / x a)))
    <= Sum (fun a => (pi a * Q a - lambda * (phi a * ln (phi a / pi a))) + mu * (x a - pi a)).
  by rewrite sumD sumB sumB !sumZl sumB !prob_sum1 /inner /KL; lra.
apply: sum_le => a; have p0 := phi0 a; have q0 := pi0 a; have y0 := x0 a; have m0 := muQ a.
rewrite (ln_div p0 y0) (ln_div p0 q0).
have L : ln (x a) - ln (pi a) <= x a / pi a - 1.
  by rewrite -ln_div //; apply: ln_le_sub1; apply: Rdiv_lt_0_compat.
have E : lambda * phi a * (x a / pi a - 1) = (mu - Q a) * (x a - pi a).
  by rewrite piE; field; lra.
have H : lambda * phi a * (ln (x a) - ln (pi a)) <= lambda * phi a * (x a / pi a - 1).
  by apply: Rmult_le_compat_l => //; apply: Rmult_le_pos; lra.
by rewrite E in H; lra.
Qed.
