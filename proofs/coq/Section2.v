(* Section 2 of docs/theory.md: the universal contraction bound, for every penalty that is zero at the meta-policy
   and nowhere negative; exact and inexact, one step and K steps; its instances Alg(1), Alg(2), Alg(3); its average. *)
From Coq Require Import Reals Lra Lia.
From mathcomp Require Import all_ssreflect.
From BOMRL Require Import Definitions Section0 Section1 Claims.
From BOMRL Require ComparatorError Constant.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Local Open Scope R_scope.

(* ---- one task, any penalty ---------------------------------------------------------------------------------- *)

Section OneTask.
Variables (S A : finType) (M : mdp S A).
Notation g := (discount M).

(* gamma P_pi x. *)
Definition ahead (pi : policy S A) (x : S -> R) (s : S) : R := g * Sum (fun s' => Ppi M pi s s' * x s').

Lemma ahead_le pi x y : (forall s, x s <= y s) -> forall s, ahead pi x s <= ahead pi y s.
Proof.
move=> H s; apply: Rmult_le_compat_l; first exact: discount_ge0.
by apply: sum_le => s'; apply: Rmult_le_compat_l; [apply: Ppi_ge0 | apply: H].
Qed.

Lemma ahead_ext pi x y : (forall s, x s = y s) -> forall s, ahead pi x s = ahead pi y s.
Proof. by move=> H s; rewrite /ahead; congr (_ * _); apply: sum_ext => s'; rewrite H. Qed.

Lemma aheadD pi x y s : ahead pi (fun s => x s + y s) s = ahead pi x s + ahead pi y s.
Proof.
by rewrite /ahead -Rmult_plus_distr_l -sumD; congr (_ * _); apply: sum_ext => s'; ring.
Qed.

Lemma ahead_sum pi (I : finType) (x : I -> S -> R) s :
  ahead pi (fun s => Sum (fun i => x i s)) s = Sum (fun i => ahead pi (x i) s).
Proof.
rewrite /ahead sumZl sum_exch; congr (_ * _); apply: sum_ext => s'.
by rewrite -sumZl; apply: sum_ext => i; ring.
Qed.

Variables (phi star plus : policy S A) (Vphi Vstar Vplus : S -> R).
Hypotheses (Bphi : Bellman M phi Vphi) (Bstar : Bellman M star Vstar) (Bplus : Bellman M plus Vplus).
Variable penalty : S -> dist A -> R.
Notation objective s x := (inner x (Q M Vphi s) - penalty s x).

(* Policies that nearly solve the inner problem: eta(s) is by how much pi+ falls short of phi and of a comparator
   with error e(s). *)
Theorem contraction_inexact (e eta : S -> R) (m : R) :
  (forall s, 0 <= penalty s (plus s)) ->
  (forall s, Vphi s <= objective s (plus s) + eta s) ->
  (forall s, inner (star s) (Q M Vphi s) - e s <= objective s (plus s) + eta s) ->
  (forall s, eta s <= m) ->
  forall s, Vstar s - Vplus s <= ahead star (fun s' => Vstar s' - Vphi s') s + e s + eta s + g / (1 - g) * m.
Proof.
move=> pen0 vs_phi vs_q eta_m s; have g0 := discount_ge0 M; have g1 := discount_lt1 M.
have improving s1 : Vphi s1 <= Tpi M plus Vphi s1 + m.
  by have := vs_phi s1; have := pen0 s1; have := eta_m s1; rewrite /Tpi; lra.
have keeps : Tpi M plus Vphi s - Vplus s <= g * (m / (1 - g)).
  rewrite [X in _ - X <= _]Bplus TpiB; apply: Rmult_le_compat_l => //; apply: Ppi_le_const => s'.
  by have := almost_improving Bplus improving s'; lra.
have contracts : Vstar s - Tpi M star Vphi s = ahead star (fun s' => Vstar s' - Vphi s') s.
  by rewrite {1}Bstar TpiB.
have -> : g / (1 - g) * m = g * (m / (1 - g)) by rewrite /Rdiv; ring.
by have := vs_q s; have := pen0 s; rewrite -contracts /Tpi in keeps *; lra.
Qed.

(* THE UNIVERSAL CONTRACTION BOUND. The policies that compete are any set that holds phi and the comparator q. *)
Theorem universal_contraction (competes : dist A -> Prop) (q : policy S A) :
  (forall s, penalty s (phi s) = 0) ->
  (forall s x, 0 <= penalty s x \/ ~ competes x) ->
  (forall s, competes (phi s)) -> (forall s, competes (plus s)) -> (forall s, competes (q s)) ->
  (forall s x, competes x -> objective s x <= objective s (plus s)) ->
  forall s, Vstar s - Vplus s <= ahead star (fun s' => Vstar s' - Vphi s') s
    + (inner (star s) (Q M Vphi s) - inner (q s) (Q M Vphi s) + penalty s (q s)).
Proof.
move=> pen_phi pen0 c_phi c_plus c_q argmax s.
pose e s := inner (star s) (Q M Vphi s) - inner (q s) (Q M Vphi s) + penalty s (q s).
have := @contraction_inexact e (fun _ => 0) 0 _ _ _ (fun _ => Rle_refl 0) s.
rewrite Rmult_0_r !Rplus_0_r /e; apply=> s1.
- by have [//|/(_ (c_plus s1))] := pen0 s1 (plus s1).
- by have := argmax s1 _ (c_phi s1); rewrite pen_phi [X in _ -> X <= _]Bphi /Tpi; lra.
- by have := argmax s1 _ (c_q s1); lra.
Qed.

(* The same for returns, with the inner error counted only where pi+ goes. *)
Theorem contraction_return (nu e eta : S -> R) (m : R) :
  Flow M plus nu ->
  (forall s, 0 < nu s -> 0 <= penalty s (plus s)) ->
  (forall s, 0 < nu s -> Vphi s <= objective s (plus s) + eta s) ->
  (forall s, 0 < nu s -> inner (star s) (Q M Vphi s) - e s <= objective s (plus s) + eta s) ->
  (forall s, eta s <= m) ->
  J M Vstar - J M Vplus
  <= Sum (fun s => start M s * (ahead star (fun s' => Vstar s' - Vphi s') s + e s))
     + Sum (fun s => start M s * eta s) + g / (1 - g) * m.
Proof.
move=> fl pen0 vs_phi vs_q eta_m; have g0 := discount_ge0 M; have g1 := discount_lt1 M.
pose u s := nu s - (1 - g) * start M s.
have u_sum : Sum u = g by rewrite sumB sumZl (flow_sum1 fl) prob_sum1; ring.
apply: (Rmult_le_reg_l (1 - g)); first lra.
have -> : (1 - g) * (J M Vstar - J M Vplus)
        = Sum (fun s => (1 - g) * start M s * (Vstar s - Vphi s) - nu s * (Tpi M plus Vphi s - Vphi s)).
  rewrite sumB (performance_difference_vector Vphi Bplus fl).
  rewrite (sum_ext (g := fun s => (1 - g) * (start M s * Vstar s - start M s * Vphi s))); last by move=> s; ring.
  by rewrite sumZl sumB /J; ring.
have -> : (1 - g) * (Sum (fun s => start M s * (ahead star (fun s' => Vstar s' - Vphi s') s + e s))
            + Sum (fun s => start M s * eta s) + g / (1 - g) * m)
        = Sum (fun s => (1 - g) * (start M s * (ahead star (fun s' => Vstar s' - Vphi s') s + e s))
            + (1 - g) * (start M s * eta s) + u s * m).
  by rewrite !sumD !sumZl sumZr u_sum; field; lra.
apply: sum_le => s; have u0 : 0 <= u s by have := flow_ge_start fl s; rewrite /u; lra.
have contracts : Vstar s - Tpi M star Vphi s = ahead star (fun s' => Vstar s' - Vphi s') s.
  by rewrite {1}Bstar TpiB.
have st0 : 0 <= (1 - g) * start M s by apply: Rmult_le_pos; [lra | apply: prob_ge0].
case: (Rle_lt_or_eq_dec _ _ (flow_ge0 fl s)) => [pos|Z].
  have d1 : - m <= Tpi M plus Vphi s - Vphi s.
    by have := vs_phi s pos; have := pen0 s pos; have := eta_m s; rewrite /Tpi; lra.
  have d2 : Vstar s - Tpi M plus Vphi s <= ahead star (fun s' => Vstar s' - Vphi s') s + e s + eta s.
    by rewrite -contracts; have := vs_q s pos; have := pen0 s pos; rewrite /Tpi; lra.
  have h1 := Rmult_le_compat_l _ _ _ u0 d1; have h2 := Rmult_le_compat_l _ _ _ st0 d2.
  by rewrite /u in h1 *; lra.
have E : (1 - g) * start M s = 0 by rewrite /u -Z in u0; lra.
have -> : (1 - g) * (start M s * (ahead star (fun s' => Vstar s' - Vphi s') s + e s))
        = (1 - g) * start M s * (ahead star (fun s' => Vstar s' - Vphi s') s + e s) by ring.
have -> : (1 - g) * (start M s * eta s) = (1 - g) * start M s * eta s by ring.
by rewrite /u E -Z; lra.
Qed.

End OneTask.

(* ---- K steps -------------------------------------------------------------------------------------------------- *)

Section Steps.
Variables (S A : finType) (M : mdp S A) (star : policy S A) (Vstar : S -> R) (V e : nat -> S -> R).

(* (gamma P_star)^n x. *)
Definition ahead_n (n : nat) (x : S -> R) : S -> R := iter n (ahead M star) x.

(* If each step satisfies the contraction bound with its own comparator error, then
   V-star - V_K <= (gamma P_star)^K (V-star - V_0) + sum_{j<K} (gamma P_star)^j e_{K-1-j}. *)
Theorem contraction_K_steps :
  (forall k s, Vstar s - V k.+1 s <= ahead M star (fun s' => Vstar s' - V k s') s + e k s) ->
  forall K s, Vstar s - V K s
    <= ahead_n K (fun s' => Vstar s' - V 0%N s') s + Sum (fun j : 'I_K => ahead_n j (e (K - 1 - j)%N) s).
Proof.
move=> step; elim=> [|K IH] s.
  by rewrite /Sum big_ord0 /=; lra.
have -> : Sum (fun j : 'I_K.+1 => ahead_n j (e (K.+1 - 1 - j)%N) s)
        = e K s + ahead M star (fun s => Sum (fun j : 'I_K => ahead_n j (e (K - 1 - j)%N) s)) s.
  rewrite ahead_sum /Sum big_ord_recl /= subn1 subn0 /=; congr (_ + _); apply: eq_bigr => j _.
  rewrite /ahead_n /=; apply: ahead_ext => s1; congr (iter _ _ (e _) _).
  by rewrite -subnDA.
have := step K s; have := @ahead_le _ _ M star _ _ IH s.
by rewrite aheadD /ahead_n iterS; lra.
Qed.

End Steps.

(* ---- what the comparators cost ------------------------------------------------------------------------------- *)

Section Comparators.
Variables (A : finType) (phi : dist A) (b : A) (Q : A -> R).
Hypothesis phi_gt0 : forall a, 0 < phi a.
Notation p := (phi b).
Let p0 : 0 < p := phi_gt0 b.
Let p1 : p <= 1 := prob_le1 phi b.

(* Alg(1): (1-eps) pi-star + eps phi. *)
Section Mixture.
Variable eps : R.
Hypotheses (eps0 : 0 < eps) (eps1 : eps <= 1).

Definition mixed a : R := (1 - eps) * point b a + eps * phi a.

Lemma mixed_gt0 a : 0 < mixed a.
Proof.
have h1 : 0 <= (1 - eps) * point b a by apply: Rmult_le_pos; [lra | apply: prob_ge0].
by have h2 : 0 < eps * phi a by [apply: Rmult_lt_0_compat]; rewrite /mixed; lra.
Qed.

Lemma mixed_sum1 : Sum mixed = 1.
Proof. by rewrite /mixed sumD !sumZl !prob_sum1; ring. Qed.

Definition mix : dist A := Dist (fun a => Rlt_le _ _ (mixed_gt0 a)) mixed_sum1.

Lemma inner_mix : inner mix Q = (1 - eps) * Q b + eps * inner phi Q.
Proof.
rewrite -(inner_point b Q) /inner -!sumZl -sumD; apply: sum_ext => a; rewrite /= /mixed /=; ring.
Qed.

Lemma KL_mix : KL phi mix = p * ln (p / (1 - eps * (1 - p))) - (1 - p) * ln eps.
Proof.
rewrite /KL (sum_D1 _ b) /= /mixed /= eqxx.
have -> : (1 - eps) * 1 + eps * p = 1 - eps * (1 - p) by ring.
suff -> : \big[Rplus/0]_(a | a != b) (phi a * ln (phi a / ((1 - eps) * (if a == b then 1 else 0) + eps * phi a)))
        = (1 - p) * - ln eps by ring.
rewrite -sum_others big_distrl /=; apply: eq_bigr => a /negbTE ->; congr (_ * _).
have -> : phi a / ((1 - eps) * 0 + eps * phi a) = / eps by field; have := phi_gt0 a; split; lra.
exact: ln_Rinv.
Qed.

Theorem comparator_error_kl_prior lambda :
  Q b - inner mix Q + lambda * KL phi mix = ComparatorError.kl_prior (Q b - inner phi Q) lambda p eps.
Proof.
by rewrite inner_mix KL_mix /ComparatorError.kl_prior; ring.
Qed.
End Mixture.

(* Alg(2): pi-star itself. *)
Theorem comparator_error_kl_posterior lambda :
  Q b - inner (point b) Q + lambda * KL (point b) phi = ComparatorError.kl_posterior lambda p.
Proof. by rewrite inner_point KL_point // /ComparatorError.kl_posterior; ring. Qed.

(* Alg(3): softmax(theta_phi + t 1_b). *)
Section Tilt.
Variable t : R.
Notation Z := (1 - p + p * exp t).

Lemma Z_gt0 : 0 < Z.
Proof. by have : 0 < p * exp t by [apply: Rmult_lt_0_compat => //; apply: exp_pos]; lra. Qed.

Definition tilted a : R := phi a * (if a == b then exp t else 1) / Z.

Lemma tilted_gt0 a : 0 < tilted a.
Proof.
apply: Rdiv_lt_0_compat; last exact: Z_gt0.
by apply: Rmult_lt_0_compat => //; case: ifP => _; [apply: exp_pos | lra].
Qed.

Lemma tilted_total f : Sum (fun a => phi a * (if a == b then exp t else 1) * f a)
  = inner phi f + p * (exp t - 1) * f b.
Proof.
rewrite /inner !(sum_D1 _ b) eqxx.
rewrite (eq_bigr (fun a => phi a * f a)); first by ring.
by move=> a /negbTE ->; ring.
Qed.

Lemma tilted_sum1 : Sum tilted = 1.
Proof.
rewrite /tilted /Rdiv sumZr.
rewrite (sum_ext (g := fun a => phi a * (if a == b then exp t else 1) * 1)); last by move=> a; ring.
rewrite (tilted_total (fun _ => 1)) inner_const; field.
by have := Z_gt0; lra.
Qed.

Definition tilt : dist A := Dist (fun a => Rlt_le _ _ (tilted_gt0 a)) tilted_sum1.

Lemma inner_tilt : Q b - inner tilt Q = (Q b - inner phi Q) / Z.
Proof.
have -> : inner tilt Q = (inner phi Q + p * (exp t - 1) * Q b) / Z.
  rewrite -tilted_total /Rdiv -sumZr; apply: sum_ext => a; rewrite /= /tilted /Rdiv; ring.
by field; have := Z_gt0; lra.
Qed.

Lemma parameter_distance_tilt : parameter_distance tilt phi = t ^ 2 * (1 - / INR #|A|).
Proof.
have n0 : 0 < INR #|A|.
  by apply: lt_0_INR; apply/ltP; apply/card_gt0P; exists b.
have E a : ln (tilt a / phi a) = (if a == b then t else 0) - ln Z.
  have -> : tilt a / phi a = (if a == b then exp t else 1) / Z.
    by rewrite /= /tilted; field; have := Z_gt0; have := phi_gt0 a; lra.
  rewrite ln_div; [|case: ifP => _; [exact: exp_pos | lra] | exact: Z_gt0].
  by case: ifP => _; rewrite ?ln_exp ?ln_1.
have total : Sum (fun a => ln (tilt a / phi a)) = t - INR #|A| * ln Z.
  rewrite (sum_ext E) sumB sum_const (sum_1 (i := b)) ?eqxx // => a /negbTE -> //.
rewrite /parameter_distance /centred_square total.
rewrite (sum_ext (g := fun a => (t ^ 2 - 2 * t * t / INR #|A|) * (if a == b then 1 else 0) + (t / INR #|A|) ^ 2)).
  rewrite sumD sumZl sum_const (point_sum1 b); field; lra.
by move=> a; rewrite E; case: ifP => _; field; lra.
Qed.

Theorem comparator_error_euclidean ell :
  Q b - inner tilt Q + ell * parameter_distance tilt phi
  = ComparatorError.euclidean (Q b - inner phi Q) p t ell (INR #|A|).
Proof.
rewrite inner_tilt parameter_distance_tilt /ComparatorError.euclidean /Rdiv.
have -> : 1 + p * exp t - p = Z by ring.
by ring.
Qed.
End Tilt.

End Comparators.

(* ---- the registry's theorems ---------------------------------------------------------------------------------- *)

Section Case.
Variables (Tasks S A : finType) (c : case Tasks S A) (tau : Tasks).
Notation M := (task c tau).
Notation star := (fun s => point (best c tau s)).

Lemma gamma_def : discount M = Constant.gamma c.
Proof. exact: discount_is_common. Qed.

Lemma gamma_ge0 : 0 <= Constant.gamma c.
Proof. by rewrite -gamma_def; apply: discount_ge0. Qed.

Lemma gamma_lt1 : Constant.gamma c < 1.
Proof. by rewrite -gamma_def; apply: discount_lt1. Qed.

Lemma lambda_gt0 : 0 < Constant.lambda c.
Proof. exact: regularisation_gt0. Qed.

Lemma ahead_D s : ahead M star (fun s' => V_star c tau s' - V_phi c tau s') s = Constant.gamma c * Constant.D c tau s.
Proof. by rewrite /ahead gamma_def; congr (_ * _); apply: sum_ext => s'; rewrite Ppi_point. Qed.

Lemma ell_ge0 s : 0 <= Constant.ell c tau s.
Proof.
rewrite /Constant.ell; case: Req_EM_T => /= N; first lra.
have n0 := flow_ge0 (visit_phi_def c tau) s.
by apply/Rlt_le/Rdiv_lt_0_compat; [exact: lambda_gt0 | rewrite /Constant.nu_phi in N *; lra].
Qed.

Lemma penalty_ge0 s x : Constant.competes c x -> 0 <= Constant.penalty c tau s x.
Proof.
have l0 := Rlt_le _ _ lambda_gt0; have m0 := meta_gt0 c s.
rewrite /Constant.competes /Constant.penalty; case: (method c) => H; try by lra.
- by apply: Rmult_le_pos => //; apply: gibbs.
- by apply: Rmult_le_pos => //; apply: gibbs.
- by apply: Rmult_le_pos; [apply: ell_ge0 | apply: centred_square_ge0].
Qed.

Lemma adapted_competes s : Constant.competes c (adapted c tau s).
Proof. by rewrite /Constant.competes; case: (method c) => // b; apply: adapted_gt0. Qed.

Lemma meta_competes s : Constant.competes c (meta c s).
Proof. by rewrite /Constant.competes; case: (method c) => // b; apply: meta_gt0. Qed.

Lemma penalty_meta s : Constant.penalty c tau s (meta c s) = 0.
Proof.
have m0 := meta_gt0 c s.
by rewrite /Constant.penalty; case: (method c); rewrite ?KL_refl ?parameter_distance_refl //; ring.
Qed.

Lemma objective_meta s : Constant.objective c tau s (meta c s) = V_phi c tau s.
Proof. by rewrite /Constant.objective penalty_meta Rminus_0_r V_phi_def. Qed.

Lemma eta_ge0 s : 0 <= Constant.eta c tau s.
Proof. by rewrite /Constant.eta; case: Rlt_dec => /= _; [apply: Rmax_l | lra]. Qed.

Lemma eta_covers s : 0 < visit_plus c tau s ->
  V_phi c tau s <= Constant.objective c tau s (adapted c tau s) + Constant.eta c tau s /\
  Constant.Q_phi c tau s (best c tau s) - Constant.e c tau s
    <= Constant.objective c tau s (adapted c tau s) + Constant.eta c tau s.
Proof.
rewrite /Constant.eta /Constant.nu_plus => pos; case: Rlt_dec => //= _.
set o := Constant.objective _ _ _ _; set x := V_phi c tau s; set y := _ - Constant.e _ _ _.
have := Rmax_r 0 (Rmax x y - o); have := Rmax_l x y; have := Rmax_r x y; lra.
Qed.

(* What one step of contraction costs, and what the inner error costs, as `bomrl verify` evaluates them. *)
Definition contraction_part : R :=
  Sum (fun s => (Constant.gamma c * Constant.D c tau s + Constant.e c tau s) * Constant.rho c tau s).
Definition inner_part : R :=
  Sum (fun s => Constant.eta c tau s * Constant.rho c tau s)
  + Constant.gamma c * Largest (fun s => Constant.eta c tau s) / (1 - Constant.gamma c).

(* For whatever adapted policy. *)
Theorem contraction_case : Constant.gap c tau <= contraction_part + inner_part.
Proof.
have := contraction_return (V_star_def c tau) (V_plus_def c tau) (Vphi := V_phi c tau)
  (penalty := Constant.penalty c tau) (e := Constant.e c tau) (eta := Constant.eta c tau)
  (m := Largest (fun s => Constant.eta c tau s)) (visit_plus_def c tau).
rewrite gamma_def /contraction_part /inner_part /Constant.gap => H.
rewrite (sum_ext (g := fun s => start M s * (ahead M star (fun s' => V_star c tau s' - V_phi c tau s') s
  + Constant.e c tau s))); last by move=> s; rewrite ahead_D /Constant.rho; ring.
rewrite (sum_ext (f := fun s => Constant.eta c tau s * _) (g := fun s => start M s * Constant.eta c tau s));
  last by move=> s; rewrite /Constant.rho; ring.
apply: Rle_trans (H _ _ _ _) _ => [s|s|s|s|].
- by move=> _; apply: penalty_ge0; apply: adapted_competes.
- by case/eta_covers.
- by case/eta_covers=> _; rewrite inner_point.
- exact: (largest_ge (fun s => Constant.eta c tau s)).
- by rewrite /Rdiv; right; ring.
Qed.

(* For the exact solution of the inner problem the terms in eta vanish: then the comparator errors are what they
   are called, and the bound is the one of docs/theory.md, section 2. *)
Theorem inner_error_vanishes :
  method c = kl_prior \/ method c = kl_posterior \/ method c = euclidean ->
  Constant.solves_inner_problem c -> forall s, Constant.eta c tau s = 0.
Proof.
move=> algorithm solved s; rewrite /Constant.eta; case: Rlt_dec => //= pos.
have nphi : 0 < Constant.nu_phi c tau s.
  exact: (full_support_visits (meta_gt0 c) (visit_phi_def c tau) (visit_plus_def c tau)).
have {}solved x : Constant.competes c x ->
    Constant.objective c tau s x <= Constant.objective c tau s (adapted c tau s).
  move=> cx; have := solved tau s; case: (method c) => [H|H|H|H|H]; try exact: H.
  by move: H; case: Req_EM_T => /= [Z|_ H]; [lra | apply: H].
have vs_phi := solved _ (meta_competes s); rewrite objective_meta in vs_phi.
suff [q cq eq] : exists2 q, Constant.competes c q &
    Constant.objective c tau s q = Constant.Q_phi c tau s (best c tau s) - Constant.e c tau s.
  have vs_q := solved _ cq; rewrite eq in vs_q.
  by apply: Rmax_left; have := Rmax_lub _ _ _ vs_phi vs_q; lra.
have m0 := meta_gt0 c s.
have aE : Constant.a c tau s = Constant.Q_phi c tau s (best c tau s) - inner (meta c s) (Constant.Q_phi c tau s).
  by rewrite /Constant.a {1}V_phi_def.
rewrite /Constant.competes /Constant.objective /Constant.e /Constant.penalty.
case: algorithm => [-> | [-> | ->]].
- exists (mix (best c tau s) m0 (mixture_gt0 c tau s) (mixture_le1 c tau s)); first by move=> x; apply: mixed_gt0 => //; [exact: mixture_gt0 | exact: mixture_le1].
  by rewrite aE -(comparator_error_kl_prior _ _ m0 (mixture_gt0 c tau s) (mixture_le1 c tau s)); ring.
- exists (point (best c tau s)) => //.
  by rewrite -(comparator_error_kl_posterior _ (Constant.Q_phi c tau s)) //; ring.
- exists (tilt (best c tau s) m0 (logit c tau s)); first by move=> x; apply: tilted_gt0.
  by rewrite aE -(comparator_error_euclidean (best c tau s) _ m0 (logit c tau s)); ring.
Qed.

End Case.

(* The registry's bound in the parts above: its first sum over states is the contraction part. *)
Ltac regroup c tau :=
  rewrite [in RHS](sum_ext (g := fun s => (Constant.gamma c * Constant.D c tau s + Constant.e c tau s)
    * Constant.rho c tau s)).

Theorem contraction_kl_prior : contraction_kl_prior_claim.
Proof.
move=> T S A c alg tau; apply: Rle_trans (contraction_case c tau) _; right; rewrite /contraction_kl_prior_bound.
regroup c tau; first by rewrite /contraction_part /inner_part /Rdiv; ring.
by move=> s; rewrite /Constant.e alg /ComparatorError.kl_prior (Rmult_comm (1 - _) (Constant.eps c tau s)); ring.
Qed.

Theorem contraction_kl_posterior : contraction_kl_posterior_claim.
Proof.
move=> T S A c alg tau; apply: Rle_trans (contraction_case c tau) _; right; rewrite /contraction_kl_posterior_bound.
regroup c tau; first by rewrite /contraction_part /inner_part /Rdiv; ring.
by move=> s; rewrite /Constant.e alg /ComparatorError.kl_posterior; ring.
Qed.

Theorem contraction_euclidean : contraction_euclidean_claim.
Proof.
move=> T S A c alg tau; apply: Rle_trans (contraction_case c tau) _; right; rewrite /contraction_euclidean_bound.
regroup c tau; first by rewrite /contraction_part /inner_part /Rdiv; ring.
by move=> s; rewrite /Constant.e alg /ComparatorError.euclidean /Constant.A /Rdiv; ring.
Qed.

Theorem contraction_task_average : contraction_task_average_claim.
Proof.
move=> T S A c alg; rewrite /contraction_task_average_left /contraction_task_average_bound.
apply: sum_le => tau; apply: Rmult_le_compat_r; first exact: prob_ge0.
by apply: Rle_trans (contraction_case c tau) _; right; rewrite /contraction_part /inner_part; ring.
Qed.

(* ---- the exact statements of docs/theory.md ------------------------------------------------------------------ *)

(* With the exact solution of the inner problem, Alg(i) and comparator error e_i:
   J-star - J(pi+) <= sum_s rho(s) [gamma (P_{pi-star}(V-star - V^phi))(s) + e_i(s)]. *)
Theorem contraction_exact (T S A : finType) (c : case T S A) (tau : T) :
  method c = kl_prior \/ method c = kl_posterior \/ method c = euclidean ->
  Constant.solves_inner_problem c ->
  Constant.gap c tau
  <= Sum (fun s => Constant.rho c tau s * (Constant.gamma c * Constant.D c tau s + Constant.e c tau s)).
Proof.
move=> algorithm solved; have eta0 := inner_error_vanishes tau algorithm solved.
apply: Rle_trans (contraction_case c tau) _; right; rewrite /contraction_part /inner_part.
rewrite (sum_ext (f := fun s => Constant.eta c tau s * _) (g := fun _ => 0)); last by move=> s; rewrite eta0; ring.
have -> : Largest (fun s => Constant.eta c tau s) = 0.
  have [s ->] := largest_attained (fun s => Constant.eta c tau s) (start_inhabited (task c tau)); exact: eta0.
rewrite sum_0 /Rdiv Rmult_0_r Rmult_0_l !Rplus_0_r; apply: sum_ext => s; ring.
Qed.

(* K steps of Alg(2), from a meta-policy of full support. *)
Section MirrorDescent.
Variables (S A : finType) (M : mdp S A) (phi : policy S A) (lambda : R).
Hypotheses (phi_gt0 : forall s a, 0 < phi s a) (l0 : 0 < lambda).

Definition full_support (pi : policy S A) : Prop := forall s a, 0 < pi s a.

Definition one_step (pi : sig full_support) : sig full_support :=
  exist full_support (fun s => soft (Q M (value M (proj1_sig pi)) s) lambda (proj2_sig pi s))
    (fun s => soft_gt0 (Q M (value M (proj1_sig pi)) s) lambda (proj2_sig pi s)).

Definition run (k : nat) : sig full_support := iter k one_step (exist full_support phi phi_gt0).

Definition after (k : nat) : policy S A := proj1_sig (run k).

Theorem mirror_descent_K_steps (star : policy S A) (Vstar : S -> R) : Bellman M star Vstar ->
  forall K s, Vstar s - value M (after K) s
    <= ahead_n M star K (fun s' => Vstar s' - value M phi s') s
       + Sum (fun j : 'I_K => ahead_n M star j (fun s' => lambda * KL (star s') (after (K - 1 - j) s')) s).
Proof.
move=> Bstar K s.
apply: (contraction_K_steps (V := fun k => value M (after k)) (e := fun k s => lambda * KL (star s) (after k s))) => k s1.
rewrite /after [run k.+1]/=; move: (run k) => pi; have pi_gt0 := proj2_sig pi.
have := universal_contraction (value_exists M (proj1_sig pi)) Bstar (value_exists M (proj1_sig (one_step pi)))
  (penalty := fun s x => lambda * KL x (proj1_sig pi s)) (competes := fun _ => True) (q := star).
move=> H; have := H _ _ _ _ _ _ s1; rewrite Rminus_eq_0 Rplus_0_l; apply=> // s2.
- by rewrite KL_refl //; ring.
- by move=> x; left; apply: Rmult_le_pos; [lra | apply: gibbs].
- by move=> x _; apply: (closed_form_is_argmax _ l0 (proj2_sig pi s2)).
Qed.

End MirrorDescent.
